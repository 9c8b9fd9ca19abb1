"""Conditions -> alarm records: the states of ISA-18.2, delays, suppression, commands."""
