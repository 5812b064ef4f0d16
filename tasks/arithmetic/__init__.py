"""Problems of arithmetic: expressions, webs of counts, their solutions, and mistakes in solutions."""
