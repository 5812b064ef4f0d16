"""The JSON API of the board: routes and the models of their answers."""
