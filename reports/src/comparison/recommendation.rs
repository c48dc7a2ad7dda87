//! Which variant to use, and where another one would be the better choice.

use super::{
    contrast::{Aspect, Contrast, Decision},
    data::{Comparison, Setting},
};
use crate::quantity;

/// What the figures say.
pub(super) struct Recommendation {
    /// The ranked variants: the one to use, the runner-up, and the others.
    pub(super) order: Vec<String>,
    /// The first two, and why.
    pub(super) text: String,
    /// Where another variant is better, and what was not decided.
    pub(super) exceptions: Vec<String>,
}

impl Comparison {
    /// How the recommendation follows from the figures.
    pub(super) fn rules(&self) -> String {
        format!(
            "Rules. A variant that violated an invariant is disqualified, and one that was not \
             decided is not ranked. Of the others, those on the Pareto front of some setting come \
             first: nothing else there is better by more than {margin} in throughput, p99 at equal \
             load or CPU per booking without being worse by more than {margin} in another of them. \
             Of these, the one that leads the throughput in most settings is recommended: it makes \
             the most confirmed bookings per second, or is equal to the one that does. Where two \
             lead in as many, the larger share of the best's throughput decides. Settings with \
             seats for everybody count; where seats run out, goodput is how fast seats come back, \
             and those settings show whether a variant is right.",
            margin = quantity::percent(self.margin)
        )
    }

    /// The recommendation that follows from the contrasts by [`Comparison::rules`].
    pub(super) fn recommendation(&self) -> Recommendation {
        let settings = self.settings_with(Aspect::Throughput);
        let mut ranked = self.ranked();
        ranked.sort_by(|left, right| {
            self.is_on_a_front(right)
                .cmp(&self.is_on_a_front(left))
                .then(self.led(right, Aspect::Throughput).cmp(&self.led(left, Aspect::Throughput)))
                .then(self.share_of_best(right).total_cmp(&self.share_of_best(left)))
        });
        let Some(best) = ranked.first().copied() else {
            let text = "No variant is recommended: none is ranked.".to_owned();
            return Recommendation { order: Vec::new(), text, exceptions: Vec::new() };
        };
        let runner_up = ranked.get(1).copied();
        let text = match runner_up {
            None => format!("Use {best}: nothing else is ranked."),
            Some(runner_up) => format!(
                "Use {best}: of {} ranked variants it makes the most bookings per second, or is \
                 equal to the one that does, in {} of {}. The runner-up is {runner_up}, with {}; \
                 {}{}",
                ranked.len(),
                self.led(best, Aspect::Throughput),
                quantity::counted(settings.len() as u64, "setting"),
                self.led(runner_up, Aspect::Throughput),
                self.where_it_wins(runner_up, best),
                self.not_told_apart(best),
            ),
        };
        Recommendation {
            text,
            exceptions: self.exceptions(best),
            order: ranked.into_iter().map(str::to_owned).collect(),
        }
    }

    /// In how many settings a variant leads.
    pub(super) fn led(&self, variant: &str, aspect: Aspect) -> usize {
        let settings = self.settings_with(aspect);
        settings.into_iter().filter(|setting| self.leads(variant, *setting, aspect)).count()
    }

    /// In how many deciding settings nothing dominates it.
    pub(super) fn fronts(&self, variant: &str) -> usize {
        let settings = self.settings_with(Aspect::Throughput).into_iter();
        let measured = settings.filter(|it| self.value(variant, *it, Aspect::Throughput).is_some());
        measured.filter(|it| self.dominated_by(variant, *it).is_none()).count()
    }

    fn is_on_a_front(&self, variant: &str) -> bool {
        self.fronts(variant) > 0
    }

    /// The shares of the best's throughput that it makes, over all settings.
    fn share_of_best(&self, variant: &str) -> f64 {
        let goodput = |name: &str, setting| self.value(name, setting, Aspect::Throughput);
        let share = |setting: Setting| {
            let best = self.order(setting).first().and_then(|best| goodput(best, setting))?;
            Some(goodput(variant, setting)? / best.max(f64::MIN_POSITIVE))
        };
        self.settings_with(Aspect::Throughput).into_iter().filter_map(share).sum()
    }

    /// The settings and aspects in which one variant is the best and another is decided to be worse.
    fn where_it_wins(&self, variant: &str, than: &str) -> String {
        let mut wins = Vec::new();
        for setting in self.deciding_settings() {
            for aspect in Aspect::ALL {
                let contrast = self.contrast(than, setting, aspect);
                if contrast.is_some_and(|it| {
                    it.best == variant && it.decision(self.margin) == Decision::Worse
                }) {
                    wins.push(format!("{} ({})", setting_title(setting), aspect.name()));
                }
            }
        }
        match wins.is_empty() {
            true => "nowhere is it decided to be the better one.".to_owned(),
            false => format!("it is the better one in {}.", wins.join("; ")),
        }
    }

    /// A sentence about the ranked variants that are nowhere decided to make fewer bookings per
    /// second than the best: other rounds might recommend one of them.
    fn not_told_apart(&self, from: &str) -> String {
        let settings = self.settings_with(Aspect::Throughput);
        let is_worse = |name: &str, setting: &Setting| {
            let contrast = self.contrast(name, *setting, Aspect::Throughput);
            contrast.is_some_and(|it| it.decision(self.margin) == Decision::Worse)
        };
        let mut others = self.ranked();
        others.retain(|name| *name != from && !settings.iter().any(|it| is_worse(name, it)));
        match others.split_last() {
            None => String::new(),
            Some((last, [])) => format!(" These rounds do not tell it from {last}."),
            Some((last, rest)) => {
                format!(" These rounds do not tell it from {} and {last}.", rest.join(", "))
            }
        }
    }

    /// Where another variant is better than the recommended one, or may be; then what was not
    /// decided.
    fn exceptions(&self, best: &str) -> Vec<String> {
        let mut exceptions = Vec::new();
        for setting in self.deciding_settings() {
            for aspect in Aspect::ALL {
                let contrast = self.contrast(best, setting, aspect);
                exceptions.extend(contrast.and_then(|it| exception(it, self.margin)));
            }
        }
        for aspect in Aspect::ALL {
            exceptions.extend(self.undecided(aspect));
        }
        exceptions
    }

    fn undecided(&self, aspect: Aspect) -> Option<String> {
        let of = |setting: Setting| {
            let undecided = self.contrasts.iter().filter(|it| {
                (it.load, it.clients) == setting
                    && it.aspect == aspect
                    && it.decision(self.margin) == Decision::Undecided
            });
            let names: Vec<&str> = undecided.map(|it| it.variant.as_str()).collect();
            (!names.is_empty()).then(|| format!("{}: {}", setting_title(setting), names.join(", ")))
        };
        let settings: Vec<String> = self.deciding_settings().into_iter().filter_map(of).collect();
        (!settings.is_empty()).then(|| {
            format!(
                "Not decided in these rounds, {}: {}. A larger --budget adds rounds.",
                aspect.name(),
                settings.join("; ")
            )
        })
    }
}

/// Another variant that is better, or may be.
fn exception(contrast: &Contrast, margin: f64) -> Option<String> {
    let Contrast { aspect, variant, best, .. } = contrast;
    let ratio = contrast.ratio?;
    let of_best = match aspect {
        Aspect::Throughput => "the bookings per second",
        Aspect::Latency => "the response p99 at equal load",
        Aspect::Cost => "the CPU per booking",
    };
    let interval = format!("{:.2} ({:.2} to {:.2})", ratio.median, ratio.low, ratio.high);
    let text = match contrast.decision(margin) {
        Decision::Equal => return None,
        Decision::Worse => format!("{best} is better: {variant} has {interval} times {of_best}."),
        Decision::Undecided => {
            format!("{best} may be better: {variant} has {interval} times {of_best}.")
        }
    };
    Some(format!("{}: {text}", setting_title((contrast.load, contrast.clients))))
}

pub(super) fn setting_title((load, clients): Setting) -> String {
    format!("{load}, {}", quantity::counted(clients.into(), "client"))
}
