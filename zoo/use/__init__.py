"""What goes into a trained model and what comes out: one file per kind of input or output."""
