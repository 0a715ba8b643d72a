"""The package of AMCT's base classes."""
