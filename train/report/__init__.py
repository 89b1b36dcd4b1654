"""What a finished run shows without labels: measures, verdict, pages."""
