"""The contract with users: the fields of the CRD, read into values, and the reasons that its status shows."""
