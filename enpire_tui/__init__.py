"""The control room: what people run. Supervisor, screens, headless mode, reports."""
