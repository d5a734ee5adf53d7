//! `turnline simulate`: a crowd of visitors against a running system, over real sockets, and a
//! report that checks from outside the rules that never break.

mod args;
mod arrivals;
mod chance;
mod channel;
mod crowd;
mod figures;
mod hold;
mod http;
mod joining;
mod limits;
mod message;
mod probes;
mod progress;
mod purchase;
mod report;
mod report_page;
mod rules;
mod shop;
mod sse;
mod visitor;
mod watch;
mod world;

use std::process::ExitCode;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use args::SimulateArgs;
use chance::random_seed;
use crowd::Crowd;
use http::{Api, Call};
use message::RoomState;
use shop::Shop;
use watch::{Memory, as_sample};
use world::World;

/// Runs the visitors and prints the report.
///
/// Answers 0 when no rule was broken and everybody finished, 1 when not, 2 when the run could not
/// begin: arguments that do not fit, a system or a room that is not there.
///
/// # Errors
/// When the report cannot be written, or this machine lacks what a client needs.
pub async fn run(args: SimulateArgs) -> anyhow::Result<ExitCode> {
    if args.hold_worker {
        return hold::work(args).await;
    }
    if let Some(lasts) = args.holding() {
        return hold::run(args, lasts).await;
    }
    match prepare(args).await? {
        Err(refusal) => {
            eprintln!("simulate: {refusal}");
            Ok(ExitCode::from(2))
        }
        Ok(world) => send_visitors(Arc::new(world)).await,
    }
}

/// Everything that can be refused before the first visitor comes; the inner error is in plain words.
async fn prepare(args: SimulateArgs) -> anyhow::Result<Result<World, String>> {
    let base =
        match args.base().and_then(|base| limits::make_room(args.visitors, args.medium()).map(|()| base)) {
            Ok(base) => base,
            Err(refusal) => return Ok(Err(refusal)),
        };
    let seed = args.seed.map_or_else(random_seed, Ok)?;
    let api = Api::new(base, args.room.clone(), args.outage())?;
    let room = match first_contact(&api, &args.url).await {
        Ok(room) => room,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let shop = match args.buy {
        false => None,
        true => match Shop::find(&api).await {
            Ok(shop) => Some(shop),
            Err(refusal) => return Ok(Err(refusal)),
        },
    };
    let world = World::new(args, seed, api, shop);
    world.watch().see(as_sample(&room), world.now(), &mut world.tally());
    Ok(Ok(world))
}

/// One attempt: a system that is not there at the start is a mistake to say at once, not an outage.
async fn first_contact(api: &Api, url: &str) -> Result<RoomState, String> {
    let call = Call::get(api.room_path(""));
    let answer = api.once(&call).await.map_err(|why| format!("nothing answers at {url}: {why}"))?;
    match answer.status {
        404 => return Err(format!("there is no room {:?} at {url}", api.room)),
        status if !answer.ok() => {
            return Err(format!("{url} answered {status} when asked for room {:?}", api.room));
        }
        _ => {}
    }
    let room: RoomState = answer.read().map_err(|why| format!("{url} does not speak Turnline: {why}"))?;
    match room.state.as_str() {
        "closed" => Err(format!("room {:?} is closed", api.room)),
        _ => Ok(room),
    }
}

async fn send_visitors(world: Arc<World>) -> anyhow::Result<ExitCode> {
    let stop = CancellationToken::new();
    let memory = Arc::new(Memory::default());
    let watcher = tokio::spawn(watch::watch(world.clone(), memory.clone(), stop.clone()));
    let progress = tokio::spawn(progress::show(world.clone(), stop.clone()));
    let crowd = Crowd::go(world.clone()).await;
    let end = crowd.settle(&world).await;
    stop.cancel();
    watcher.await?;
    progress.await?;
    let report = crowd.report(&world, &end, &memory);
    print!("{}", report.text());
    if let Some(path) = &world.args.report {
        report.write(path)?;
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
