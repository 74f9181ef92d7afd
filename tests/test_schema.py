"""The labelled result: what it accepts, what it refuses, that it survives a file, and its last record."""

import json

import numpy as np
import pytest
import xarray as xr

from gmsym.comparison import entries
from gmsym.errors import InputError
from gmsym.schema import BY_BLOCK, FULL_BATCH, ONLINE, VARIABLES, last, to_dataset

ABOUT = {"problem": "logistic / gd", "alpha": 0.5, "parameters": {"eta": 1.0}, "n": 10, "d": 20, "replicates": 3, "seed": 7}


def arrays(times=3, clusters=2, fields=1, fill=1.0, names=FULL_BATCH, teachers=2, parameters=3, blocks=1):
    sizes = {"time": times, "cluster": clusters, "field": fields, "field_b": fields, "teacher": teachers, "parameter": parameters}
    sizes["block"] = blocks
    return {name: np.full([sizes[d] for d in VARIABLES[name].dims], fill) for name in names}


def online(**sizes):
    about = {name: value for name, value in ABOUT.items() if name not in ("alpha", "n")} | {"step": 1.5}
    values, errors = arrays(names=ONLINE, **sizes), arrays(names=ONLINE, fill=0.1, **sizes)
    return to_dataset("simulation", values, errors, about, times=np.array([0.0, 0.5, 1.25]), parameters=["v0", "v1", "bias"])


def test_dimensions_coordinates_and_labels():
    runs = {name: np.stack([value] * 3) for name, value in arrays(4, 3, 2).items()}
    result = to_dataset("simulation", arrays(4, 3, 2), arrays(4, 3, 2, fill=0.1), ABOUT, runs)
    assert dict(result.sizes) == {"time": 4, "cluster": 3, "field": 2, "field_b": 2, "replicate": 3}
    assert result["time"].values.tolist() == [0, 1, 2, 3]
    assert result["Q_k_runs"].dims == ("replicate", "time", "cluster", "field", "field_b")
    assert {*result.data_vars} == {name + suffix for name in FULL_BATCH for suffix in ("", "_error", "_runs")}
    assert all(result[name].attrs["long_name"] and result[name].attrs["latex"] for name in result.data_vars)
    assert result.attrs["kind"] == "simulation"
    assert json.loads(result.attrs["parameters"]) == {"eta": 1.0}


def test_netcdf_round_trip(tmp_path, made_up):
    for result in made_up(clusters=3, fields=2, blocks=np.array([0.5, 0.5]), flag=True, seed=np.int64(3)):
        result.to_netcdf(tmp_path / "result.nc")
        again = xr.load_dataset(tmp_path / "result.nc")
        assert again.identical(result)
        assert last(again) == last(result)


def test_a_result_of_online_sgd_has_real_times_teachers_and_trained_parameters(tmp_path):
    result = online()
    assert result["time"].values.tolist() == [0.0, 0.5, 1.25]
    assert result["M"].dims == ("time", "teacher", "field")
    assert result["trained"].sel(parameter="bias").dims == ("time",)
    assert "train_loss" not in result
    record = last(result)
    assert record["time"] == 1.25 and record["M"] == [1.0, 1.0] and record["trained"] == {"v0": 1.0, "v1": 1.0, "bias": 1.0}
    assert "train_loss" not in record and record["error"]["trained"]["v1"] == 0.1 and record["step"] == 1.5
    result.to_netcdf(tmp_path / "online.nc")
    assert last(xr.load_dataset(tmp_path / "online.nc")) == record


def test_several_blocks_add_their_shares():
    about = {name: value for name, value in ABOUT.items() if name not in ("alpha", "n")} | {"step": 1.5}
    names = ("m", "Q", "Q_k", "M", "test_loss", *BY_BLOCK)
    values, errors = (arrays(names=names, blocks=4, fields=2, fill=fill) for fill in (1.0, 0.1))
    runs = {name: np.stack([value] * 3) for name, value in values.items()}
    result = to_dataset("simulation", values, errors, about, runs, times=np.arange(3.0))
    assert result["m_b"].dims == ("time", "block", "cluster", "field") and result["Q_b"].dims == ("time", "block", "field", "field_b")
    assert result["M_b_runs"].dims == ("replicate", "time", "block", "teacher", "field")
    assert np.shape(last(result)["Q_b"]) == (4, 2, 2) and np.shape(last(result)["error"]["m_b"]) == (4, 2, 2)
    curves = {entry.label: entry for entry in entries(result, BY_BLOCK)}
    assert [x for x in curves if x.startswith("Q_b[3")] == ["Q_b[3;0,0]", "Q_b[3;0,1]", "Q_b[3;1,1]"]
    assert curves["m_b[3;1;0]"].latex == "(m_{3,1})_{0}" and curves["M_b[2;1;0]"].of(result).dims == ("time",)
    with pytest.raises(InputError, match=r"values\['m_b'\] has shape"):
        to_dataset("theory", {**values, "m_b": values["m_b"][:, :3]}, errors, about, times=np.arange(3.0))
    with pytest.raises(InputError, match="unknown variable 'Q_b'"):
        to_dataset("theory", arrays(names=(*FULL_BATCH, "Q_b"), blocks=2), arrays(names=(*FULL_BATCH, "Q_b"), blocks=2), ABOUT)


def test_online_results_refuse_what_does_not_fit():
    with pytest.raises(InputError, match="a name for each of the 2 trained parameters"):
        online(parameters=2)
    with pytest.raises(InputError, match=r"times has shape \(3,\); \(4,\) is needed"):
        online(times=4)
    with pytest.raises(InputError, match="attributes lacks 'step'"):
        to_dataset("theory", arrays(names=ONLINE), arrays(names=ONLINE), ABOUT, times=np.arange(3.0), parameters=list("abc"))


def test_last_record_of_one_field():
    values, errors = arrays(), arrays(fill=0.1)
    values["m"][-1, :, 0] = 0.25, -0.25
    record = last(to_dataset("theory", values, errors, ABOUT))
    told = {name: ABOUT[name] for name in ("alpha", "n", "d", "seed", "parameters")}
    assert record == {
        "time": 2,
        "m": [0.25, -0.25],
        "Q": 1.0,
        "Q_k": [1.0, 1.0],
        "train_loss": 1.0,
        "test_loss": 1.0,
        "test_error": 1.0,
        "error": {"m": [0.1, 0.1], "Q": 0.1, "Q_k": [0.1, 0.1], "train_loss": 0.1, "test_loss": 0.1, "test_error": 0.1},
        **told,
    }
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_last_record_of_several_fields_without_test_error_or_error_bars():
    values, errors = arrays(clusters=3, fields=2), arrays(clusters=3, fields=2, fill=np.nan)
    del values["test_error"], errors["test_error"]
    record = last(to_dataset("simulation", values, errors, ABOUT))
    assert np.shape(record["m"]) == (3, 2)
    assert np.shape(record["Q"]) == (2, 2)
    assert np.shape(record["Q_k"]) == (3, 2, 2)
    assert record["test_error"] is None
    assert record["error"]["test_error"] is None
    assert record["error"]["m"] == [[None, None]] * 3
    json.dumps(record, allow_nan=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a["kind"].__setitem__(0, "experiment"), "kind = 'experiment'"),
        (lambda a: a["values"].pop("Q"), "values lacks the variable 'Q'"),
        (lambda a: a["errors"].pop("test_error"), "errors lacks the variable 'test_error'"),
        (lambda a: a["values"].update(q=np.ones(3)), "values has an unknown variable 'q'"),
        (lambda a: a["runs"].update(r=np.ones((2, 3))), "runs has an unknown variable 'r'"),
        (lambda a: a["values"].update(m=np.ones((3, 2))), r"values\['m'\] has shape \(3, 2\)"),
        (lambda a: a["values"].update(Q=np.ones((3, 1, 2))), r"values\['Q'\] has shape \(3, 1, 2\); \(3, 1, 1\) is needed"),
        (lambda a: a["values"].update(train_loss=np.ones(4)), r"values\['train_loss'\] has shape \(4,\); \(3,\) is needed"),
        (lambda a: a["runs"].update(m=np.ones((2, 3, 2, 2))), r"runs\['m'\] has shape \(2, 3, 2, 2\); \(2, 3, 2, 1\) is needed"),
        (lambda a: a["values"]["Q"].__setitem__((1, 0, 0), np.nan), r"values\['Q'\] is nan at index \(1, 0, 0\)"),
        (lambda a: a["errors"]["m"].__setitem__((0, 1, 0), np.inf), r"errors\['m'\] is inf at index \(0, 1, 0\)"),
        (lambda a: a["errors"]["m"].__setitem__((0, 1, 0), -0.5), r"errors\['m'\] has a negative entry, -0.5"),
        (lambda a: a["about"].pop("replicates"), "attributes lacks 'replicates'"),
    ],
)
def test_refuses(change, message):
    case = {
        "kind": ["simulation"],
        "values": arrays(),
        "errors": arrays(fill=0.1),
        "about": dict(ABOUT),
        "runs": {"m": np.ones((2, 3, 2, 1))},
    }
    change(case)
    with pytest.raises(InputError, match=message):
        to_dataset(case["kind"][0], case["values"], case["errors"], case["about"], case["runs"])
