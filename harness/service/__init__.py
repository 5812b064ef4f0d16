"""What a board and its workers share: the worker, seasons, fault codes and the health probe."""
