"""The notifier: alert rules, alerts, and webhook deliveries to ticketing systems."""
