"""The build. In the repository configs/ lies beside the packages, in a wheel inside keras_sat."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["keras_sat*", "pipeline*", "serving*"]), "keras_sat.configs"],
    package_dir={"keras_sat.configs": "configs"},
    package_data={
        "keras_sat": ["visualize/*.html", "visualize/assets/*"],
        "serving": ["web/assets/*"],
        "keras_sat.configs": ["*.yaml", "schemas/*.yaml"],
    },
)
