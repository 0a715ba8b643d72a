//! The measurement of the machine's peak: the loops of [`intact8_kernels::peak`] on all threads of the pool at once.

use intact8_kernels::peak::{PeakLoop, fp32, int8};
use std::time::Instant;

/// The most multiplications and additions in a second, of all threads together; none where the processor has no loop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// Of fp32.
    pub fp32: Option<f64>,
    /// Of bytes, with exact sums.
    pub int8: Option<f64>,
}

/// The time of one measurement in seconds: long beside the start of a thread, and short beside a change of the machine's speed.
const LONG_ENOUGH: f64 = 5e-4;

/// Measures again and again, and keeps the highest rates.
pub(super) struct PeakMeter {
    loops: [Option<Measured>; 2],
}

struct Measured {
    peak_loop: PeakLoop,
    /// The number of rounds of a measurement.
    rounds: usize,
    /// The highest rate.
    rate: f64,
}

impl PeakMeter {
    pub(super) fn new() -> PeakMeter {
        PeakMeter {
            loops: [fp32(), int8()]
                .map(|found| found.map(|peak_loop| Measured { peak_loop, rounds: 64, rate: 0.0 })),
        }
    }

    /// Measures once.
    pub(super) fn measure(&mut self) {
        self.loops.iter_mut().flatten().for_each(Measured::measure);
    }

    pub(super) fn peak(&self) -> Peak {
        let [fp32, int8] = [0, 1].map(|idx| self.loops[idx].as_ref().map(|measured| measured.rate));
        Peak { fp32, int8 }
    }
}

impl Measured {
    fn measure(&mut self) {
        let mut seconds = self.seconds();
        while seconds < LONG_ENOUGH {
            self.rounds *= 2;
            seconds = self.seconds();
        }
        let n_operations = self.rounds * self.peak_loop.operations * rayon::current_num_threads();
        self.rate = self.rate.max(n_operations as f64 / seconds);
    }

    fn seconds(&self) -> f64 {
        let began = Instant::now();
        let sums = rayon::broadcast(|_| (self.peak_loop.run)(self.rounds));
        let seconds = began.elapsed().as_secs_f64();
        std::hint::black_box(sums);
        seconds
    }
}
