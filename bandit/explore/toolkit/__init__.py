"""What every explorer is made of: controls, view-model, canvas, widgets; training, recordings; questions and checks."""
