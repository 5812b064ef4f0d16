"""Turn stored runs into one file that tells all about them."""
