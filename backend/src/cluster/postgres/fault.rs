//! What goes wrong with the database, and what that means outside.

use std::borrow::Cow;

use kernel::ports::StoreError;

/// What went wrong inside; outside it is a store that does not answer, or one that cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    #[error("{0}")]
    Broken(String),
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match &fault {
            Fault::Sql(error) if passes(error) => Self::Unavailable(fault.to_string()),
            Fault::Sql(_) | Fault::Broken(_) => Self::Broken(fault.to_string()),
        }
    }
}

impl Fault {
    /// Whether the whole transaction should be done again at once: it collided with another one, and the
    /// other's work is there to be seen by now.
    pub fn collided(&self) -> bool {
        // serialization failure, deadlock, unique violation.
        self.code().is_some_and(|code| ["40001", "40P01", "23505"].contains(&&*code))
    }

    /// Whether the connection broke: nothing of an open transaction happened.
    pub fn cut(&self) -> bool {
        match self {
            Self::Sql(sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed) => true,
            // The server ends the session, or is on its way down or up.
            Self::Sql(sqlx::Error::Database(_)) => {
                self.code().is_some_and(|code| ["57P01", "57P02", "57P03"].contains(&&*code))
            }
            Self::Sql(_) | Self::Broken(_) => false,
        }
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Sql(error) => error.as_database_error()?.code(),
            Self::Broken(_) => None,
        }
    }
}

/// Whether the same work may succeed later. What breaks a constraint, or cannot be read as what it should
/// be, stays wrong; all else is the server's state, which its operator can mend.
fn passes(error: &sqlx::Error) -> bool {
    use sqlx::Error;
    match error {
        // Class 22: data exceptions; 23: integrity constraints.
        Error::Database(error) => {
            !error.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
        }
        Error::RowNotFound
        | Error::TypeNotFound { .. }
        | Error::ColumnIndexOutOfBounds { .. }
        | Error::ColumnNotFound(_)
        | Error::ColumnDecode { .. }
        | Error::Encode(_)
        | Error::Decode(_)
        | Error::InvalidArgument(_) => false,
        _ => true,
    }
}
