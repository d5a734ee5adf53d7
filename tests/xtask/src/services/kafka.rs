//! Apache Kafka as one node that is broker and controller, from Maven Central's jars on the machine's Java.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::process::Signal;
use super::{Program, kafka_wire, ports};
use crate::machine::{self, JAVA, MAVEN, Need};
use crate::run;

pub const NEEDS: &[Need] = &[JAVA, MAVEN];

const VERSION: &str = "4.3.1";
/// Kafka 4 still speaks slf4j 1.7, to which this binding belongs.
const LOG4J_VERSION: &str = "2.25.4";
const DEPENDENCY_PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1";
/// Any 16 bytes in base64 will do; data of one folder must not meet another's.
const CLUSTER_ID: &str = "MkU3OEVBNTcwNTJENDM2Qg";
const JVM: &[&str] =
    &["-Xms512m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"];

/// One node: every replication factor is 1. The cleaner's buffer of 128 MiB and the index of 10 MiB a
/// segment, both by default, are too much for a small heap and hundreds of small topics.
const SETTINGS: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
default.replication.factor=1
min.insync.replicas=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=8388608
log.index.size.max.bytes=1048576
";

const LOGGING: &str = "\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %-5p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
";

pub struct Kafka;

impl Program for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn needs(&self) -> &'static [Need] {
        NEEDS
    }

    fn prepare(&self, dir: &Path, port: u16) -> Result<()> {
        let home = dir.join("kafka");
        fs::create_dir_all(&home)?;
        // The set of voters is a setting, not data, so that the controller may have another port each time.
        let controller = ports::free()?;
        let settings = format!(
            "{SETTINGS}log.dirs={}\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n",
            home.join("data").display()
        );
        fs::write(home.join("server.properties"), settings)?;
        fs::write(home.join("log4j2.properties"), LOGGING)?;
        if home.join("data/meta.properties").exists() {
            return Ok(());
        }
        let mut format = java(&home)?;
        format.args(["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", CLUSTER_ID, "-c"]);
        let said = format.arg(home.join("server.properties")).stdin(Stdio::null()).output()?;
        if said.status.success() {
            return Ok(());
        }
        bail!(
            "formatting its storage failed ({}):\n{}{}",
            said.status,
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&said.stderr)
        )
    }

    fn command(&self, dir: &Path, _port: u16) -> Result<Command> {
        let home = dir.join("kafka");
        let mut command = java(&home)?;
        command.arg("kafka.Kafka").arg(home.join("server.properties"));
        Ok(command)
    }

    fn answers(&self, _dir: &Path, port: u16) -> Result<()> {
        kafka_wire::every_partition_is_led(port)
    }

    fn stop_signal(&self) -> Signal {
        Signal::Terminate
    }

    fn drop_signal(&self) -> Signal {
        Signal::Kill
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(120)
    }

    fn url(&self, port: u16) -> String {
        format!("127.0.0.1:{port}")
    }
}

/// The folder of Kafka's jars; fetched from Maven Central once, about 45 MB.
pub fn jars() -> Result<PathBuf> {
    let jars = run::target().join(format!("kafka-{VERSION}"));
    if jars.is_dir() {
        return Ok(jars);
    }
    // Others may be fetching too: each into a folder of its own, and the first to be ready wins.
    let fetched = run::target().join(format!("kafka-{VERSION}.{}", std::process::id()));
    let project = fetched.join("project");
    fs::create_dir_all(&project)?;
    fs::write(project.join("pom.xml"), pom())?;
    let mut maven = Command::new(machine::program(&MAVEN).context("mvn is missing")?);
    maven.args(["--batch-mode", "--quiet", &format!("{DEPENDENCY_PLUGIN}:copy-dependencies")]);
    maven.args(["-DincludeScope=runtime", "-DoutputDirectory=../jars"]).current_dir(&project);
    let outcome = run::aside(&mut maven).and_then(|()| match fs::rename(fetched.join("jars"), &jars) {
        Err(why) if !jars.is_dir() => Err(why.into()),
        Ok(()) | Err(_) => Ok(()),
    });
    fs::remove_dir_all(&fetched)?;
    outcome.with_context(|| format!("Kafka {VERSION} could not be fetched from Maven Central"))?;
    Ok(jars)
}

fn pom() -> String {
    let dependency = |(group, name, version): (&str, &str, &str)| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        )
    };
    let dependencies: String = [
        ("org.apache.kafka", "kafka_2.13", VERSION),
        ("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J_VERSION),
        ("org.apache.logging.log4j", "log4j-core", LOG4J_VERSION),
    ]
    .map(dependency)
    .concat();
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>turnline</groupId><artifactId>kafka</artifactId><version>1</version>\
         <dependencies>{dependencies}</dependencies></project>\n"
    )
}

fn java(home: &Path) -> Result<Command> {
    let mut command = Command::new(machine::program(&JAVA).context("java is missing")?);
    let logging = format!("-Dlog4j2.configurationFile={}", home.join("log4j2.properties").display());
    command.args(JVM).arg(logging).arg("-cp").arg(jars()?.join("*"));
    Ok(command)
}
