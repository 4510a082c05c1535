/nowhere/at/all || true
/bin/true
