"""GPU insertion: a graphics card is pressed into its slot until the latch clicks."""
