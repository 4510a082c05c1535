"$CASE_BIN" poll "$K"
