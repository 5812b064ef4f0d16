"""Laws of training: controlled experiments whose models differ in one thing; one module a law, as `LAW`."""
