"""Another bundle takes over while a run goes on, once it has shown that it may."""
