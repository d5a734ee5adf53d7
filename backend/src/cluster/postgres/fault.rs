//! What goes wrong with the database, and what that means outside.

use std::borrow::Cow;

use kernel::ports::StoreError;

/// What went wrong inside; outside it is a store that does not answer, or one that cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// Another transaction was quicker: what it did is there to be seen by now.
    #[error("other calls kept being quicker")]
    Collided,
    #[error("it does not answer in time")]
    TimedOut,
    /// The connection was cut while a transaction was being ended.
    #[error("the connection broke, and nobody knows whether the work is kept: {0}")]
    Unsure(#[source] sqlx::Error),
    #[error("{0}")]
    Broken(String),
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match &fault {
            Fault::Sql(error) if !passes(error) => Self::Broken(fault.to_string()),
            Fault::Broken(_) => Self::Broken(fault.to_string()),
            Fault::Sql(_) | Fault::Collided | Fault::TimedOut | Fault::Unsure(_) => {
                Self::Unavailable(fault.to_string())
            }
        }
    }
}

impl Fault {
    /// Whether the same work should be done again at once: nothing of it happened, and what was in the way
    /// is gone.
    pub fn may_try_again(&self) -> bool {
        match self {
            Self::Collided => true,
            Self::Sql(error) => {
                // Serialization failure, deadlock, unique violation: another transaction was quicker.
                was_cut(error)
                    || code(error).is_some_and(|code| ["40001", "40P01", "23505"].contains(&&*code))
            }
            Self::TimedOut | Self::Unsure(_) | Self::Broken(_) => false,
        }
    }

    /// What this means when a transaction was to be kept and it happened then.
    pub fn at_the_end(self) -> Self {
        match self {
            Self::Sql(error) if was_cut(&error) => Self::Unsure(error),
            other => other,
        }
    }
}

/// Whether the connection broke: nothing of an open transaction happened.
fn was_cut(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => true,
        // The server ends the session, or is on its way down or up.
        error => code(error).is_some_and(|code| ["57P01", "57P02", "57P03"].contains(&&*code)),
    }
}

fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
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
