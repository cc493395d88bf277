"""The control room: a viewer of the fleet's journals that sends commands; it holds no truth."""
