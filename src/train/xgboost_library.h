// The functions of libxgboost that the adapter uses, opened once a process. Only train/ includes
// this.
#pragma once

#include <xgboost/c_api.h>

#include "base/error.h"

namespace skerry {

struct XgboostFunctions {
  decltype(&::XGBoostVersion) version = nullptr;
  decltype(&::XGBGetLastError) last_error = nullptr;
  decltype(&::XGBSetGlobalConfig) set_global_config = nullptr;
  decltype(&::XGDMatrixCreateFromDense) matrix_create = nullptr;
  decltype(&::XGProxyDMatrixCreate) proxy_create = nullptr;
  decltype(&::XGProxyDMatrixSetDataDense) proxy_set_dense = nullptr;
  decltype(&::XGQuantileDMatrixCreateFromCallback) quantile_matrix_create = nullptr;
  decltype(&::XGDMatrixSetInfoFromInterface) matrix_set_info = nullptr;
  decltype(&::XGDMatrixSetStrFeatureInfo) matrix_set_texts = nullptr;
  decltype(&::XGDMatrixFree) matrix_free = nullptr;
  decltype(&::XGBoosterCreate) booster_create = nullptr;
  decltype(&::XGBoosterFree) booster_free = nullptr;
  decltype(&::XGBoosterSetParam) booster_set_param = nullptr;
  decltype(&::XGBoosterUpdateOneIter) booster_update = nullptr;
  decltype(&::XGBoosterPredictFromDMatrix) booster_predict = nullptr;
  decltype(&::XGBoosterPredictFromDense) booster_predict_dense = nullptr;
  decltype(&::XGBoosterSaveModelToBuffer) booster_save = nullptr;
};

// Opens the library at the first call; later calls return the same table, or the same error.
// Thread-safe. The pointer lives as long as the process.
Result<const XgboostFunctions*> LoadXgboost();

}  // namespace skerry
