//! Secrets: from the environment, or made once and kept in the data directory, readable by its owner only.

use std::env::VarError;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use backend::entropy::SystemEntropy;
use kernel::ports::Entropy;

use crate::settings::{ADMIN_TOKEN, SECRET};

/// Shorter secrets can be guessed.
const CHARS_MIN: usize = 16;

pub struct Secrets {
    /// Signs tickets and passes.
    pub secret: String,
    pub admin_token: String,
}

impl Secrets {
    /// From the environment.
    ///
    /// # Errors
    /// One is missing or empty.
    pub fn from_environment() -> anyhow::Result<Self> {
        Ok(Self { secret: given(SECRET)?, admin_token: given(ADMIN_TOKEN)? })
    }

    /// From the environment, or kept in the directory.
    pub fn load_or_make(directory: &Path) -> anyhow::Result<Self> {
        // Rooms keep the shop's keys there: a directory that we make is its owner's alone.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("the data directory {} cannot be made", directory.display()))?;
        Ok(Self {
            secret: one(SECRET, &directory.join("secret"))?,
            admin_token: one(ADMIN_TOKEN, &directory.join("admin-token"))?,
        })
    }
}

fn one(name: &str, file: &Path) -> anyhow::Result<String> {
    match std::env::var(name) {
        Ok(secret) => checked(name, secret),
        Err(_) => checked(
            name,
            kept(file).with_context(|| format!("the secret in {} cannot be read or made", file.display()))?,
        ),
    }
}

/// A secret that all processes have to share comes from the environment alone.
fn given(name: &str) -> anyhow::Result<String> {
    match std::env::var(name) {
        Ok(secret) => checked(name, secret),
        Err(VarError::NotPresent) => {
            bail!("{name} is not set; every process of one Turnline needs the same one, so none is made here")
        }
        Err(VarError::NotUnicode(_)) => bail!("{name} is not text in UTF-8; set one that is"),
    }
}

fn checked(name: &str, secret: String) -> anyhow::Result<String> {
    if secret.is_empty() {
        bail!("{name} is empty; set one, or unset it to have one made");
    }
    if secret.len() < CHARS_MIN {
        tracing::warn!("{name} is shorter than {CHARS_MIN} characters and can be guessed; set a longer one");
    }
    Ok(secret)
}

fn kept(file: &Path) -> anyhow::Result<String> {
    match std::fs::read_to_string(file) {
        Ok(secret) => return Ok(secret.trim().to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let secret: String = SystemEntropy.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    keep(&secret, file)
}

/// Keeps a secret where none is, and answers the one that is kept. Written aside and linked, so that a crash
/// leaves a whole secret or none, and two processes that start at the same time use the same.
fn keep(secret: &str, file: &Path) -> anyhow::Result<String> {
    let fresh = file.with_extension(format!("new-{}", std::process::id()));
    let mut writer = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    writer.write_all(secret.as_bytes())?;
    writer.sync_all()?;
    let linked = std::fs::hard_link(&fresh, file);
    std::fs::remove_file(&fresh)?;
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Ok(std::fs::read_to_string(file)?.trim().to_owned());
        }
        Err(error) => return Err(error.into()),
    }
    if let Some(directory) = file.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(secret.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        let made = kept(&file).unwrap();
        assert_eq!(made.len(), 64);
        assert_eq!(kept(&file).unwrap(), made);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn processes_that_start_together_use_one_secret() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        Secrets::load_or_make(&data).unwrap();
        assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        let file = data.join("another");
        assert_eq!(keep("the first", &file).unwrap(), "the first");
        assert_eq!(keep("the second", &file).unwrap(), "the first");
        assert_eq!(kept(&file).unwrap(), "the first");
    }
}
