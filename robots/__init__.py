"""Everything that touches a robot (EN and R): wire, station, safety, drivers, tasks, sandbox."""
