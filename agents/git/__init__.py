"""Git as the fleet's memory: one bare origin a run, one clone a station, bundles between them."""
