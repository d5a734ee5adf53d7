//! A wire to Redis that can be cut: before a request gets there, or before its answer comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub struct Wire {
    pub url: String,
    cut: Arc<Cut>,
    /// While true, new connections carry nothing.
    down: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Cut {
    requests: AtomicBool,
    answers: AtomicBool,
    /// How often a connection was cut.
    times: AtomicU64,
}

impl Wire {
    /// To the Redis at `url`, `redis://HOST:PORT`.
    pub async fn to(url: &str) -> Self {
        let far = url.strip_prefix("redis://").unwrap().to_owned();
        let near = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", near.local_addr().unwrap());
        let cut = Arc::<Cut>::default();
        let shared = cut.clone();
        let (down, is_down) = watch::channel(false);
        let accepting = tokio::spawn(async move {
            while let Ok((here, _)) = near.accept().await {
                let Ok(there) = TcpStream::connect(&far).await else { continue };
                let (cut, mut is_down) = (shared.clone(), is_down.clone());
                tokio::spawn(async move {
                    if is_down.wait_for(|down| !down).await.is_ok() {
                        carry(here, there, cut).await;
                    }
                });
            }
        });
        Self { url, cut, down, accepting }
    }

    /// The next request never gets to Redis.
    pub fn lose_a_request(&self) {
        self.cut.requests.store(true, Ordering::SeqCst);
    }

    /// The next request gets to Redis, and its answer does not come back.
    pub fn lose_an_answer(&self) {
        self.cut.answers.store(true, Ordering::SeqCst);
    }

    /// Connections that are made from now on carry nothing until it is mended.
    pub fn stay_down(&self) {
        self.down.send_replace(true);
    }

    pub fn mend(&self) {
        self.down.send_replace(false);
    }

    pub fn cuts(&self) -> u64 {
        self.cut.times.load(Ordering::SeqCst)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(mut here: TcpStream, mut there: TcpStream, cut: Arc<Cut>) {
    let (mut request, mut answer) = (vec![0; 65_536], vec![0; 65_536]);
    let (mut from_here, mut to_here) = here.split();
    let (mut from_there, mut to_there) = there.split();
    loop {
        let carried = tokio::select! {
            read = from_here.read(&mut request) => match read {
                Ok(length) if length > 0 && !cut.requests.swap(false, Ordering::SeqCst) => {
                    to_there.write_all(&request[..length]).await
                }
                Ok(0) | Err(_) => return,
                Ok(_) => break,
            },
            read = from_there.read(&mut answer) => match read {
                Ok(length) if length > 0 && !cut.answers.swap(false, Ordering::SeqCst) => {
                    to_here.write_all(&answer[..length]).await
                }
                Ok(0) | Err(_) => return,
                Ok(_) => break,
            },
        };
        if carried.is_err() {
            return;
        }
    }
    cut.times.fetch_add(1, Ordering::SeqCst);
}
