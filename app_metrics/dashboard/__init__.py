"""Compute the data of the dashboard's pages: overview, chart, health, unused."""
