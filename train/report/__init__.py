"""What can be said of a finished run without labels: measures, verdict, pages."""
