"$CASE_BIN" worker "$K"
