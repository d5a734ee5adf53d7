//! The registry and the shop in PostgreSQL.
