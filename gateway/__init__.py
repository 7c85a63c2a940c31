"""The service: wires adapters to the catalog and decides when things happen."""
