"""Small helper networks and frozen backbones."""
