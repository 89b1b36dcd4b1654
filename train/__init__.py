"""Source training, TGMB, TGKT, the baselines and their evaluation. Imported as tgkt_edge.train."""
