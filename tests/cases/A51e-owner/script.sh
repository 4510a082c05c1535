chown nobody "$K"
