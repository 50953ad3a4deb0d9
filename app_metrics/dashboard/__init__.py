"""What the admin's pages show: overview, chart, health, unused."""
