//! PostgreSQL with a role and a database `turnline`. As it refuses to run as root, root runs it as the system
//! user `postgres`, whom the Debian package makes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Program;
use super::process::Signal;
use crate::machine::{self, INITDB, Need, POSTGRES, PSQL};

pub const NEEDS: &[Need] = &[INITDB, POSTGRES, PSQL];

/// Loopback and a throw-away database: a password only so that the way of a real one is walked.
const PASSWORD: &str = "turnline";
const SETTINGS: &str = "\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 300
shared_buffers = 128MB
";

pub struct Postgres;

impl Program for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn needs(&self) -> &'static [Need] {
        NEEDS
    }

    fn prepare(&self, dir: &Path, _port: u16) -> Result<()> {
        let data = dir.join("postgres");
        // Written last: a start that was interrupted half-way begins anew.
        let made = dir.join("postgres.made");
        if made.exists() && data.exists() {
            return Ok(());
        }
        remove(dir)?;
        let owner = Owner::of_the_server()?;
        make_data_folder(&data, owner)?;
        initialise(&data, owner)?;
        Ok(fs::write(made, "")?)
    }

    fn command(&self, dir: &Path, port: u16) -> Result<Command> {
        let mut command = server(Owner::of_the_server()?)?;
        command.arg("-D").arg(dir.join("postgres").canonicalize()?).args(["-p", &port.to_string()]);
        Ok(command)
    }

    fn answers(&self, _dir: &Path, port: u16) -> Result<()> {
        let mut psql = Command::new(machine::program(&PSQL).context("psql is missing")?);
        psql.args([&self.url(port), "-XAtqc", "select 'answer'"]).env("PGCONNECT_TIMEOUT", "2");
        let said = psql.stdin(Stdio::null()).output()?;
        match said.stdout.trim_ascii() {
            b"answer" => Ok(()),
            _ => bail!("a query was answered with: {}", String::from_utf8_lossy(&said.stderr).trim()),
        }
    }

    /// PostgreSQL's "fast shutdown": SIGTERM would wait for every client to go.
    fn stop_signal(&self) -> Signal {
        Signal::Interrupt
    }

    /// "Immediate shutdown": like a crash, but its children end and its shared memory is given back.
    fn drop_signal(&self) -> Signal {
        Signal::Quit
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn url(&self, port: u16) -> String {
        format!("postgres://turnline:{PASSWORD}@127.0.0.1:{port}/turnline")
    }
}

/// Removes the data below `dir`, wherever it lies.
pub fn remove(dir: &Path) -> Result<()> {
    let data = dir.join("postgres");
    if data.is_symlink() {
        if let Ok(elsewhere) = data.canonicalize() {
            fs::remove_dir_all(elsewhere)?;
        }
        fs::remove_file(&data)?;
    } else if data.exists() {
        fs::remove_dir_all(&data)?;
    }
    match fs::remove_file(dir.join("postgres.made")) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(why.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whom the server runs as; none: as who runs this.
#[derive(Clone, Copy)]
struct Owner(Option<(u32, u32)>);

impl Owner {
    fn of_the_server() -> Result<Owner> {
        if !machine::is_root() {
            return Ok(Owner(None));
        }
        let number = |of: &str| -> Result<u32> {
            let answer = Command::new("id").args([of, "postgres"]).output()?;
            let text = String::from_utf8_lossy(&answer.stdout);
            text.trim()
                .parse()
                .context("there is no system user `postgres`, and PostgreSQL refuses to run as root")
        };
        Ok(Owner(Some((number("-u")?, number("-g")?))))
    }

    fn run(self, mut command: Command) -> Command {
        if let Owner(Some((user, group))) = self {
            command.uid(user).gid(group);
        }
        command
    }
}

fn server(owner: Owner) -> Result<Command> {
    let program = machine::program(&POSTGRES).context("the program `postgres` is missing")?;
    let mut command = owner.run(Command::new(program));
    // It may not be able to read the folder this runs in.
    command.current_dir("/");
    Ok(command)
}

/// A folder that the server's user owns and can reach. A checkout below /root cannot be reached: then the data
/// lies in the system's temporary folder, and `data` points there.
fn make_data_folder(data: &Path, owner: Owner) -> Result<()> {
    let Owner(Some((user, group))) = owner else { return Ok(fs::create_dir(data)?) };
    let parent = data.parent().context("the data folder lies in no folder")?;
    // Folders for tests are made for their owner alone; passing through is enough.
    let mode = fs::metadata(parent)?.permissions().mode();
    fs::set_permissions(parent, fs::Permissions::from_mode(mode | 0o011))?;
    let reachable = parent.ancestors().all(|folder| may_pass(folder, user, group));
    let place = if reachable { data.to_owned() } else { elsewhere(parent)? };
    fs::create_dir(&place)?;
    std::os::unix::fs::chown(&place, Some(user), Some(group))?;
    if !reachable {
        symlink(&place, data)?;
    }
    Ok(())
}

fn may_pass(folder: &Path, user: u32, group: u32) -> bool {
    fs::metadata(folder).is_ok_and(|about| {
        let bit = match () {
            () if about.uid() == user => 0o100,
            () if about.gid() == group => 0o010,
            () => 0o001,
        };
        about.mode() & bit != 0
    })
}

/// One place for each folder, cleared of what an earlier one under the same name left there.
fn elsewhere(parent: &Path) -> Result<PathBuf> {
    let name: String =
        parent.to_string_lossy().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let place = std::env::temp_dir().join(format!("turnline-postgres{name}"));
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    Ok(place)
}

fn initialise(data: &Path, owner: Owner) -> Result<()> {
    let data = data.canonicalize()?;
    let program = machine::program(&INITDB).context("initdb is missing")?;
    let mut initdb = owner.run(Command::new(program));
    initdb.arg("-D").arg(&data).current_dir("/");
    initdb.args(["-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]);
    initdb.args(["--auth-local=trust", "--auth-host=scram-sha-256"]);
    succeed(initdb, "")?;
    let settings = data.join("postgresql.conf");
    let defaults = fs::read_to_string(&settings)?;
    fs::write(&settings, format!("{defaults}\n{SETTINGS}"))?;
    // Single-user mode: the role is made before anybody can connect.
    let mut single = server(owner)?;
    single.args(["--single", "-D"]).arg(&data).arg("postgres");
    succeed(
        single,
        &format!(
            "CREATE ROLE turnline LOGIN PASSWORD '{PASSWORD}';\nCREATE DATABASE turnline OWNER turnline;\n"
        ),
    )
}

fn succeed(mut command: Command, input: &str) -> Result<()> {
    use std::io::Write;
    let name =
        Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("{name} could not be started"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let said = child.wait_with_output()?;
    if said.status.success() {
        return Ok(());
    }
    bail!(
        "{name} failed ({}):\n{}{}",
        said.status,
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    )
}
