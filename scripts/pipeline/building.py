"""From a stage's settings to the suite that builds: shared by stage A and the check without a run."""

from pipeline.environment import SUITES, StageContext


def build_experiment(context: StageContext):
    """Return the modeling.suites.Build of the experiment; nothing is written.

    Raises
    ------
    UserError
        Anything wrong with the experiment or its data.
    """
    from modeling.build import DataPlaces
    from modeling.suites import build

    own_populations = context.forecast_repo_dir / "data" / "epydemix-data"
    places = DataPlaces(
        data_roots=[context.forecast_repo_dir, context.config_folder.parent],
        # a folder that is named is the only one, so that no other quietly fills its gaps
        population_folders=[context.epydemix_data_dir or own_populations],
        cache_folder=context.cache_folder,
    )
    return build(
        suite=context.suite or SUITES[0],
        config_folder=context.config_folder,
        output_file=context.output_config_path(),
        places=places,
        seed=context.seed,
        count=context.count,
    )
