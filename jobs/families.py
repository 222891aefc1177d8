"""Ridge and support vector regression, one fold per call: the function of families.toml."""
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR


def estimator(model, alpha, C, kernel, gamma):
    """A model of a family. A parameter of another family is None."""
    if model == "ridge":
        return make_pipeline(StandardScaler(), Ridge(alpha=alpha))
    return make_pipeline(StandardScaler(), SVR(C=C, kernel=kernel, gamma=gamma or "scale"))


def crunch(dataset, fold, **parameters):
    """R^2 on the held-out fold."""
    features, target = dataset
    train, test = list(KFold(5).split(features))[fold]
    fitted = estimator(**parameters).fit(features[train], target[train])
    return fitted.score(features[test], target[test])
