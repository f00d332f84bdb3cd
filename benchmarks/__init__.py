"""What the performance tables are made from: ``make bench`` runs them all."""
