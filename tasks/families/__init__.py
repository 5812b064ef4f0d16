"""One file a family; the registry finds them."""
