"""Push-T to be seen to: the block lies some centimetres off, and the policy is shown the picture."""
