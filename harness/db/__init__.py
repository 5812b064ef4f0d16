"""The database: tables, migrations, and functions that write rows and read them as frozen values."""
