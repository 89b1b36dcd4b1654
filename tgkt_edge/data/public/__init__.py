"""``tgkt-edge data prepare``: public data sets as the CSVs and the SensorSpec that adapt and evaluate read."""
