"""The commands of `fathom`: each module reads the options of some commands and calls the layers below."""
