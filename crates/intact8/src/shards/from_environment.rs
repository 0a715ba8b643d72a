//! The shard of a process, from the variables that schedulers and launchers set.

use intact8_calibrate::Shard;
use intact8_ir::{Error, Result};

/// The variables of a scheduler: the number of the process, and the number of processes.
struct Variables {
    index: &'static str,
    of: &'static str,
    /// The variable that holds the number of the first process, if it is not always 0.
    first: Option<&'static str>,
}

/// The variables, the most specific first: a process of torchrun may run inside of a job of a scheduler.
const VARIABLES: &[Variables] = &[
    // Of torchrun, and of the workers of Ray Train.
    Variables { index: "RANK", of: "WORLD_SIZE", first: None },
    Variables {
        index: "SLURM_ARRAY_TASK_ID",
        of: "SLURM_ARRAY_TASK_COUNT",
        first: Some("SLURM_ARRAY_TASK_MIN"),
    },
    // Kubernetes sets no count; the manifest of the job states it.
    Variables { index: "JOB_COMPLETION_INDEX", of: "JOB_COMPLETION_COUNT", first: None },
];

/// The shard that this process is, by the variables of torchrun, Ray Train, Slurm job arrays or Kubernetes indexed jobs. `variable` returns the
/// value of a variable of the environment.
///
/// # Errors
/// If there are none, or a value is no number or does not fit.
pub fn shard_of_environment(variable: &dyn Fn(&str) -> Option<String>) -> Result<Shard> {
    let Some((names, index)) = VARIABLES.iter().find_map(|names| Some((names, variable(names.index)?)))
    else {
        let names: Vec<&str> = VARIABLES.iter().map(|names| names.index).collect();
        return Err(Error::invalid_config(format!(
            "none of the variables {} is set; write the number of the shard and their count, such as 1/4",
            names.join(", ")
        ))
        .at("auto"));
    };
    let number = |name: &str, value: String| {
        let wrong = || Error::invalid_config(format!("is {value:?}, and must be a number")).at(name);
        value.trim().parse::<usize>().map_err(|_| wrong())
    };
    let missing = || {
        let message = format!("is not set, and {} is; set it to the number of shards", names.index);
        Error::invalid_config(message).at(names.of)
    };
    let of = number(names.of, variable(names.of).ok_or_else(missing)?)?;
    let first = names.first.and_then(|name| Some((name, variable(name)?)));
    let first = first.map_or(Ok(0), |(name, value)| number(name, value))?;
    let index = number(names.index, index)?;
    let outside = || {
        let message = format!("is {index}, and {} shards from {first} are expected", of);
        Error::invalid_config(message).at(names.index)
    };
    let position = index.checked_sub(first).filter(|position| *position < of).ok_or_else(outside)?;
    Shard::new(position, of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(variables: &[(&str, &str)]) -> Result<String, String> {
        let value = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        shard_of_environment(&value).map(|shard| shard.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn each_scheduler_has_variables_of_its_own() {
        let slurm =
            [("SLURM_ARRAY_TASK_ID", "7"), ("SLURM_ARRAY_TASK_COUNT", "4"), ("SLURM_ARRAY_TASK_MIN", "5")];
        assert_eq!(shard(&slurm), Ok("3/4".to_owned()));
        assert_eq!(
            shard(&slurm[..2]),
            Err("SLURM_ARRAY_TASK_ID: is 7, and 4 shards from 0 are expected".to_owned())
        );
        assert_eq!(shard(&[("RANK", "0"), ("WORLD_SIZE", "2")]), Ok("1/2".to_owned()));
        assert_eq!(
            shard(&[("JOB_COMPLETION_INDEX", "9"), ("JOB_COMPLETION_COUNT", "10")]),
            Ok("10/10".to_owned())
        );
        assert_eq!(
            shard(&[("JOB_COMPLETION_INDEX", "9")]),
            Err("JOB_COMPLETION_COUNT: is not set, and JOB_COMPLETION_INDEX is; set it to the number of shards".to_owned())
        );
        assert_eq!(
            shard(&[("RANK", "one"), ("WORLD_SIZE", "2")]),
            Err("RANK: is \"one\", and must be a number".to_owned())
        );
        assert!(shard(&[]).unwrap_err().starts_with("auto: none of the variables RANK, "));
    }
}
