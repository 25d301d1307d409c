"""Watch, plan, sign, report: the four rooms through which data flows, and what drives them."""
