"""Accounts: sign-in with OpenID Connect, logins, API tokens, and the account page."""
