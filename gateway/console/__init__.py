"""The operator's page and the public catalog page, rendered on the server."""
